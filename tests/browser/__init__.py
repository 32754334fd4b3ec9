"""The pages as people meet them: every page and button in Debian's Chromium, looked over by machine, kept as pictures.

`site` is what they show, `pages` and `buttons` are the tables of what is walked, `watching` how a page is opened and
watched, `inspection` what is asked of each, `known` what is Django's own.
"""
