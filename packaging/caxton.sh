#!/bin/sh
exec /usr/lib/caxton/bin/python3 -I -m caxton "$@"
