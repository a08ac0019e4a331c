# Counts words and pairs of words of its input in large hashes.
use strict;
use warnings;
my (%words, %pairs, $last);
$last = '';
while (<STDIN>) {
    for my $word (/(\w+)/g) {
        $words{lc $word}++;
        $pairs{"$last $word"}++;
        $last = $word;
    }
}
my @most = sort { $pairs{$b} <=> $pairs{$a} || $a cmp $b } keys %pairs;
print scalar(keys %words), " words, ", scalar(@most), " pairs\n";
print "$_ $pairs{$_}\n" for @most[0 .. 49];
