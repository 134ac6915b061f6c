_clap_complete_lbctl() {
    local IFS=$'\013'
    local _CLAP_COMPLETE_INDEX=${COMP_CWORD}
    local _CLAP_COMPLETE_COMP_TYPE=${COMP_TYPE}
    if compopt +o nospace 2> /dev/null; then
        local _CLAP_COMPLETE_SPACE=false
    else
        local _CLAP_COMPLETE_SPACE=true
    fi
    local words=() line="${COMP_LINE:0:COMP_POINT}" rest part head="" at
    for ((at = 0; at <= COMP_CWORD; at++)); do
        rest="${line#"${line%%[![:space:]]*}"}"
        part="${COMP_WORDS[at]}"
        if ((at == COMP_CWORD)); then
            part="$rest"
        fi
        if ((at > 0)) && [[ -n "$part" && "$rest" == "$line" ]]; then
            head="${words[${#words[@]} - 1]}${part%"$2"}"
            words[${#words[@]} - 1]+="$part"
        else
            head=""
            words+=("$part")
        fi
        line="${rest#"$part"}"
    done
    _CLAP_COMPLETE_INDEX=$((${#words[@]} - 1))
    COMPREPLY=( $( \
        _CLAP_IFS="$IFS" \
        _CLAP_COMPLETE_INDEX="$_CLAP_COMPLETE_INDEX" \
        _CLAP_COMPLETE_COMP_TYPE="$_CLAP_COMPLETE_COMP_TYPE" \
        _CLAP_COMPLETE_SPACE="$_CLAP_COMPLETE_SPACE" \
        LBCTL_COMPLETE="bash" \
        "lbctl" -- "${words[@]}" \
    ) )
    if [[ $? != 0 ]]; then
        unset COMPREPLY
    elif [[ $_CLAP_COMPLETE_SPACE == false ]] && [[ "${COMPREPLY-}" =~ [=/:]$ ]]; then
        compopt -o nospace
    fi
    if [[ -n "$head" && -n "${COMPREPLY-}" ]]; then
        COMPREPLY=("${COMPREPLY[@]#"$head"}")
    fi
}
if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -o nospace -o bashdefault -o nosort -F _clap_complete_lbctl lbctl
else
    complete -o nospace -o bashdefault -F _clap_complete_lbctl lbctl
fi
