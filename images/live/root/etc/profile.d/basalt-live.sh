# `basalt-install` is no part of the image, and only here.
PATH="$PATH:/sysroot/live/bin"
