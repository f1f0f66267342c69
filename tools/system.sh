#!/bin/sh
# What the tests want from the system: bubblewrap (the Python sandbox), a Chromium (the report's browser test) and a Java
# (ScienceWorld, one of the adapters).
# Installed where we may; otherwise named, and the tests that need them skip with a reason (under CI=true: fail).
missing=""
command -v bwrap >/dev/null 2>&1 || missing="$missing bubblewrap"
command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || missing="$missing chromium"
command -v java >/dev/null 2>&1 || missing="$missing default-jre-headless"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing$missing"
    # shellcheck disable=SC2086
    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing) >/dev/null 2>&1 ||
        echo "could not install$missing; the tests that need them will skip" >&2
else
    echo "not installed:$missing (apt-get install$missing); the tests that need them will skip" >&2
fi
exit 0
