# Writes a day of a web server's log in Apache's combined format: the same bytes for the same arguments, on every
# machine and with every awk.
#
#   awk -v seed=1 -v date=2025-03-01 -v bytes=1000000 -f access-log.awk > access-2025-03-01.log
#
# `bytes` is how large the file is to be; it ends with the first whole line that reaches that size.

# Park and Miller's generator: all products stay below 2^53, so that every awk computes them exactly.
function random(below) {
    state = state * 16807 % 2147483647
    return state % below
}

function pick(list, count) {
    return list[random(count) + 1]
}

# Small numbers are drawn much more often than large ones, as with real visitors and pages.
function often_small(below,   a, b) {
    a = random(below)
    b = random(below)
    return int(a * b / below)
}

function hexadecimal(length_wanted,   text) {
    text = ""
    while (length(text) < length_wanted)
        text = text substr("0123456789abcdef", random(16) + 1, 1)
    return text
}

function path(   kind, name) {
    kind = random(100)
    if (kind < 40)
        return "/static/" pick(folders, n_folders) "/" pick(words, n_words) "-" often_small(400) pick(suffixes, n_suffixes)
    if (kind < 70)
        return "/" pick(folders, n_folders) "/" pick(words, n_words) "/" often_small(5000)
    if (kind < 82)
        return "/search?q=" pick(words, n_words) "+" pick(words, n_words) "&page=" often_small(30)
    if (kind < 92)
        return "/account/" pick(words, n_words) "?session=" hexadecimal(16) "&from=" pick(folders, n_folders)
    if (kind < 97)
        return "/api/v" (1 + random(3)) "/" pick(folders, n_folders) "/" often_small(100000) ".json"
    return pick(probes, n_probes)
}

function status(   draw) {
    draw = random(1000)
    if (draw < 820) return 200
    if (draw < 880) return 304
    if (draw < 920) return 301
    if (draw < 975) return 404
    if (draw < 990) return 403
    return 500 + random(4)
}

function referer(   draw) {
    draw = random(10)
    if (draw < 4) return "-"
    if (draw < 8) return "https://www.example.org/" pick(folders, n_folders) "/" pick(words, n_words)
    return "https://search.example.com/?q=" pick(words, n_words)
}

BEGIN {
    if (date !~ /^[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]$/ || bytes + 0 < 1 || seed + 0 < 1) {
        print "usage: awk -v seed=N -v date=YYYY-MM-DD -v bytes=N -f access-log.awk" > "/dev/stderr"
        exit 2
    }
    state = seed % 2147483646 + 1
    # The first draws of neighbouring seeds are alike.
    for (i = 0; i < 20; i++) random(2)
    split("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec", months, " ")
    split(date, parts, "-")
    day = parts[3] "/" months[parts[2] + 0] "/" parts[1]
    n_folders = split("news shop images docs forum blog media events", folders, " ")
    n_words = split("goose flock river harbour winter north island migration feather estuary marsh tide " \
                    "horizon compass lantern meadow", words, " ")
    n_suffixes = split(".png .jpg .jpeg .css .js .gif .svg .woff2", suffixes, " ")
    n_probes = split("/wp-login.php /xmlrpc.php /admin/config.php /phpmyadmin/index.php /../../etc/passwd " \
                     "/cgi-bin/test.cgi?x=%2e%2e%2f /.git/config /index.php?id=<script>", probes, " ")
    n_agents = split("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0|" \
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36|" \
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15|" \
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148|" \
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)|" \
        "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)|" \
        "curl/8.8.0|python-requests/2.32.3|Wget/1.24.5", agents, "|")
    n_methods = split("GET GET GET GET GET GET GET POST HEAD", methods, " ")

    written = 0
    while (written < bytes) {
        second = int(86399 * written / bytes)
        line = (11 + often_small(200)) "." random(256) "." often_small(256) "." (1 + random(254)) " - "
        line = line (random(20) ? "-" : pick(words, n_words)) " [" day ":"
        line = line sprintf("%02d:%02d:%02d", int(second / 3600), int(second / 60) % 60, second % 60) " +0000] \""
        line = line pick(methods, n_methods) " " path() " HTTP/1." random(2) "\" " status() " "
        line = line (200 + often_small(90000)) " \"" referer() "\" \"" pick(agents, n_agents) "\""
        print line
        written += length(line) + 1
    }
}
