#!/bin/sh
exec /usr/bin/caxton backup state "$@"
