complete --keep-order --exclusive --command lbctl --arguments "(LBCTL_COMPLETE=fish lbctl -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
