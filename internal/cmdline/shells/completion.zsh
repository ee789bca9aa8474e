#compdef PROGRAM
# Completion of PROGRAM for zsh: put this line into ~/.zshrc, after compinit
#   source <(PROGRAM completion zsh)
_FUNCTION() {
	local -a lines list
	local line kind word
	lines=("${(@f)$(command PROGRAM __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
	kind=${lines[1]%%$'\t'*}
	shift lines
	for line in $lines; do
		word=${${line%%$'\t'*}//\\/\\\\}
		list+=("${word//:/\\:}:${line#*$'\t'}")
	done
	(( $#list )) && _describe -t words PROGRAM list
	[[ $kind == words ]] || [[ $PREFIX != -*=* ]] || compset -P '[^=]##='
	case $kind in
	files) _files ;;
	folders) _files -/ ;;
	esac
}
if [[ ${funcstack[1]} == _FUNCTION ]]; then
	_FUNCTION "$@" # the first call of a file in fpath
else
	compdef _FUNCTION PROGRAM
fi
