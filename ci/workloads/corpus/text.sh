# $1 bytes of the text that the system's programs are made of, again and again.
once() {
    find /usr/include /usr/lib/python3* /usr/share/perl /usr/lib/x86_64-linux-gnu/perl-base /usr/lib/ruby /usr/share/octave /usr/lib/R \
        -type f \( -name '*.h' -o -name '*.py' -o -name '*.p[lm]' -o -name '*.rb' -o -name '*.m' \) |
        LC_ALL=C sort | xargs cat
}
# Ends when head has enough.
while once; do :; done 2> /dev/null | head -c "$1"
