#!/bin/sh
# Runs when the API has ended. Was it told to stop (a restart or a crash is no stop), its address is closed too.
if systemctl list-jobs --no-legend --plain caxton.service | grep -q ' stop '; then systemctl stop --no-block caxton.socket; fi
