#!/bin/sh
exec /usr/bin/caxton backup config "$@"
