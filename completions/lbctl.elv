set edit:completion:arg-completer[lbctl] = { |@words|
    var index = (count $words)
    set index = (- $index 1)

    put (env _CLAP_IFS="\n" _CLAP_COMPLETE_INDEX=(to-string $index) LBCTL_COMPLETE="elvish" lbctl -- $@words) | to-lines
}
