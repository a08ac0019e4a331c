# Words by frequency, in associative arrays, and the longest lines.
{
    n = split(tolower($0), word, /[^a-z_]+/)
    for (i = 1; i <= n; i++) seen[word[i]]++
    if (length($0) > long) { long = length($0); where = NR }
    gsub(/[aeiou]+/, "")
    kept += length($0)
}
END {
    for (name in seen) { kinds++; sum = (sum + seen[name] * length(name)) % 1000003 }
    print NR, kinds, sum, long, where, kept
}
