# Completion of PROGRAM for fish: put this line into ~/.config/fish/config.fish
#   PROGRAM completion fish | source
function _FUNCTION
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    test (count $word) -eq 0; and set word ''
    set -l lines (command PROGRAM __complete $words[2..-1] $word 2>/dev/null)
    printf '%s\n' $lines[2..-1]
    switch "$lines[1]"
        case files
            __fish_complete_path $word
        case folders
            __fish_complete_directories $word ''
    end
end
complete -c PROGRAM -f -a '(_FUNCTION)'
