#!/usr/bin/env bash
# torch 2.15.0: does torch.backends.fp32_precision = "ieee" turn TF32 off for cuDNN's convolutions?
# Guess: yes, as it is the setting of all backends; and setting the older flag torch.backends.cudnn.allow_tf32 to the
# value that it has anyway changes nothing.
# Seen: alone it does. After allow_tf32 = True, its default, it does not: convolutions stay at tf32. And once the new
# setting is "ieee", reading the older flag raises RuntimeError. No GPU is needed to see it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install torch==2.15.0 numpy==2.4.6
run() { "$folder/venv/bin/python" -c "import torch; backends = torch.backends; $1"; }
default=$(run 'print(backends.cudnn.allow_tf32)')
alone=$(run 'backends.fp32_precision = "ieee"; print(backends.cudnn.conv.fp32_precision)')
after=$(run 'backends.cudnn.allow_tf32 = True; backends.fp32_precision = "ieee"; print(backends.cudnn.conv.fp32_precision)')
reading=$(run 'backends.fp32_precision = "ieee"; print(backends.cudnn.allow_tf32)' 2>&1 | tail -n 1 || true)
echo "allow_tf32 is $default at first; convolutions after fp32_precision = ieee: $alone, after allow_tf32 = True and that: $after"
echo "reading allow_tf32 then: ${reading:0:80}..."
[ "$default" = True ] && [ "$alone" = ieee ] && [ "$after" = tf32 ] && [[ "$reading" == RuntimeError* ]]
