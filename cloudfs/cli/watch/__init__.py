"""Views that follow one mount: live on a terminal, or as a stream of lines."""
