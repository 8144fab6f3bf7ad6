# Loaded once, then forked.
worker_processes 4
preload_app true
