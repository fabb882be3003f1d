"""Hearing: whisper on this machine, through CTranslate2."""
