# Completion of PROGRAM for fish: put this line into ~/.config/fish/config.fish
#   PROGRAM completion fish | source
function _FUNCTION
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    set -l word (string unescape -- "$typed")
    test (count $word) -eq 0; and set word "$typed"
    set -l lines (command PROGRAM __complete $words[2..-1] "$word" 2>/dev/null)
    set -l head (string split --max 1 \t -- "$lines[1]")
    for line in $lines[2..-1]
        printf '%s\n' $line
    end
    set -l flag (string match --regex '^-[^=]*=' -- "$word")
    test (count $flag) -eq 0; and set flag ''
    switch "$head[1]"
        case files
            for path in (__fish_complete_path "$head[2]")
                printf '%s\n' $flag$path
            end
        case folders
            for path in (__fish_complete_directories "$head[2]" '')
                printf '%s\n' $flag$path
            end
    end
end
complete -c PROGRAM -f -a '(_FUNCTION)'
