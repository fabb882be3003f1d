"""Sound without sockets: codecs, resampling, speech synthesis."""
