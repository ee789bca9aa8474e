# Completion of PROGRAM for bash: put this line into ~/.bashrc
#   source <(PROGRAM completion bash)
_FUNCTION() {
	local line kind=
	COMPREPLY=()
	while IFS= read -r line; do
		if [ -z "$kind" ]; then
			kind=$line
		else
			line=${line%%$'\t'*}
			COMPREPLY+=("$(printf '%q' "$line")")
		fi
	done < <(command PROGRAM __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
	case $kind in
	files) compopt -o filenames -o default 2>/dev/null ;;
	folders) compopt -o plusdirs 2>/dev/null ;;
	esac
}
complete -F _FUNCTION PROGRAM
