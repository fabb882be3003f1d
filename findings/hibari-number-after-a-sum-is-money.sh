#!/bin/sh
# hibari-tts says the number that follows a sum of money, after a comma, as money, too.
#
# Expected: "It costs $5, 3 days later $6." is said "five dollars, three days later six dollars".
# What happens: "five dollars, three dollars days later six dollars"; and "$9.99, 20% off" has "twenty dollars percent".
# The sign is remembered until a word comes that is no number, and a comma is none that counts; so it is in misaki, whose
# rules these are.
# Seen with: hibari-tts 0.2.1, Python 3.11, Linux x86-64.
# What to do: write such sums out ("5 dollars, 3 days") before the text is spoken.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check hibari-tts==0.2.1 onnxruntime==1.32.0
cat > says.py <<'END'
import sys

from hibari import Hibari

says = Hibari().phonemize("It costs $5, 3 days later $6.")[0]
plain = Hibari().phonemize("It costs 5 dollars, 3 days later 6 dollars.")[0]
print("with signs:  ", says)
print("written out: ", plain)
DOLLARS = "dˈɑləɹz"
print("dollars are said", says.count(DOLLARS), "times and", plain.count(DOLLARS), "times")
sys.exit(0 if (says.count(DOLLARS), plain.count(DOLLARS)) == (3, 2) else "CHANGED: it is no longer as this script describes")
END
env/bin/python says.py
# Output as seen:
#   with signs:   ˌɪt kˈɔsts fˈIv dˈɑləɹz, θɹˈi dˈɑləɹz dˈAz lˈATəɹ sˈɪks dˈɑləɹz.
#   written out:  ˌɪt kˈɔsts fˈIv dˈɑləɹz, θɹˈi dˈAz lˈATəɹ sˈɪks dˈɑləɹz.
#   dollars are said 3 times and 2 times
