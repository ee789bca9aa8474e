# Completion of PROGRAM for bash: put this line into ~/.bashrc
#   source <(PROGRAM completion bash)
_FUNCTION() {
	# Bash parts words at = : @, too. They are put together as they were typed, up to the
	# cursor; what comes back is cut where bash goes on.
	local line=${COMP_LINE:0:COMP_POINT} words=() n=-1 i part gap breaks= kind= word head cut= quote value flag=
	COMPREPLY=()
	for ((i = 0; i <= COMP_CWORD; i++)); do
		gap=${line%%[![:space:]]*}
		line=${line:${#gap}}
		part=$line
		((i == COMP_CWORD)) || part=${COMP_WORDS[i]}
		line=${line:${#part}}
		if [ -z "$gap" ] && ((n >= 0)) && [[ $part == [=:@]* || ${words[n]} == *[=:@] ]]; then
			words[n]+=$part
		else
			((++n))
			words[n]=$part
		fi
	done
	word=${words[n]}
	[[ $word != -*=* ]] || flag=${word%%=*}=
	for part in = : @; do
		[[ $COMP_WORDBREAKS != *"$part"* ]] || breaks+=$part
	done
	head=${word%%[\"\'\\]*}
	[ -z "$breaks" ] || cut=${head%"${head##*[$breaks]}"}
	cut=${cut%@} # which bash keeps with what comes after it
	quote=${word:${#cut}:1}
	while IFS= read -r line; do
		if [ -z "$kind" ]; then
			kind=${line%%$'\t'*}
			value=${line#*$'\t'}
			continue
		fi
		line=${line%%$'\t'*}
		_FUNCTION_add "$quote" "${line#"$cut"}"
	done < <(command PROGRAM __complete-typed "${words[@]:1}" 2>/dev/null)
	case $kind in
	files) compopt -o filenames -o default 2>/dev/null ;;
	folders)
		while IFS= read -r line; do
			line=$flag$line
			_FUNCTION_add "$quote" "${line#"$cut"}"
		done < <(compgen -d -- "$value")
		;;
	esac
}
# Adds a word as it is to be typed: in the quotes that are open, or with what it needs.
_FUNCTION_add() {
	local word=$2 start=
	case $1 in
	\') ;;
	\")
		word=${word//\\/\\\\}
		word=${word//\$/\\\$}
		word=${word//\`/\\\`}
		word=${word//\"/\\\"}
		;;
	*)
		case $word in \~*) start=\~ word=${word#\~} ;; esac
		[ -z "$word" ] || printf -v word '%q' "$word"
		;;
	esac
	COMPREPLY+=("$start$word")
}
complete -F _FUNCTION PROGRAM
