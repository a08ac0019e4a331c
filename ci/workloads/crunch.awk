# Reads web server logs in Apache's combined format and counts what is in them, with a dozen patterns a line.
#
#   gawk -f crunch.awk access-2025-03-01.log
#
# First and last it prints a random token that it holds only in its memory: a job that was started again, instead of
# moved, would print another one.

BEGIN {
    command = "od -An -N16 -tx1 /dev/urandom"
    command | getline token
    close(command)
    gsub(/ /, "", token)
    print "token " token
    fflush()
    characters = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"
}

/"(GET|HEAD) [^"]*\.(png|jpe?g|gif|svg|css|js|woff2?|ico)(\?[^" ]*)? HTTP\/1\.[01]"/ { count["asset"]++ }
/"[A-Z]+ \/(wp-login|xmlrpc|admin\/|phpmyadmin|cgi-bin|\.git)[^"]*"/                 { count["probe"]++ }
/(\.\.\/|%2[eE]%2[eE]|<[a-z]+>)/                                                     { count["attack"]++ }
/[?&](session|sid|token)=[0-9a-f]+(&|[" ])/                                          { count["session"]++ }
/"[^"]*([Bb]ot|[Cc]rawler|[Ss]pider|slurp)[^"]*"$/                                   { count["robot"]++ }
/"(curl|Wget|python-requests)\/[0-9]+(\.[0-9]+)*"$/                                  { count["script"]++ }
/(Firefox|Chrome|Version)\/[0-9]+(\.[0-9]+)+/                                        { count["browser"]++ }
/\((X11|Windows NT [0-9.]+|Macintosh|iPhone)[;)][^)]*\)/                             { count["system"]++ }
/" 5[0-9][0-9] [0-9]+ "/                                                             { count["server error"]++ }
/" 4[0-9][0-9] [0-9]+ "/                                                             { count["client error"]++ }
/"https?:\/\/(search|www)\.[a-z.]+\/(\?q=[a-z+]+)?[^"]*" "[^"]*"$/                   { count["referred"]++ }
/^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+ - [a-z]+ \[/                                        { count["known user"]++ }

{
    lines++
    bytes += $10
    status[$9]++
    hour[substr($4, 14, 2)]++
    # Every character counts, so that a byte read wrongly anywhere shows in the end; and it keeps the job computing
    # much longer than reading.
    n = length($0)
    for (i = 1; i <= n; i++)
        check = (check * 31 + index(characters, substr($0, i, 1))) % 1000000007
}

END {
    print "lines " lines + 0
    print "bytes " bytes + 0
    print "check " check + 0
    n = split("asset|attack|browser|client error|known user|probe|referred|robot|script|server error|session|system", names, "|")
    for (i = 1; i <= n; i++)
        print names[i] " " count[names[i]] + 0
    for (code = 100; code < 600; code++)
        if (code in status)
            print "status " code " " status[code]
    for (i = 0; i < 24; i++)
        print "hour " i " " hour[sprintf("%02d", i)] + 0
    print "token " token
}
