# Hashes of arrays, joins, splits, substitutions and sorts over generated text: words.pl SCALE
use strict;
use warnings;

my $state = 1;

sub random_below {
    $state = ($state * 1103515245 + 12345) % 2147483648;
    return int($state / 65536) % $_[0];
}

my (%places, $sum);
for my $round (1 .. 6 * $ARGV[0]) {
    my @lines;
    for my $i (1 .. 12000) {
        push @lines, join(' ', map { substr('abcdefghijklmnopqrstuvwxyz', random_below(20), 2 + random_below(5)) } 1 .. 8);
    }
    my $text = join("\n", @lines);
    $text =~ s/([aeiou])(\w)/$2$1/g;
    my $number = 0;
    for my $line (split /\n/, $text) {
        $number++;
        push @{ $places{$_} }, $number for split / /, $line;
    }
    for my $word (sort keys %places) {
        $sum = ($sum // 0) + scalar @{ $places{$word} };
        delete $places{$word} if random_below(3) == 0;
    }
}
printf "checksum %d %d\n", $sum, scalar keys %places;
