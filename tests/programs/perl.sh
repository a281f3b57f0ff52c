#!/bin/sh
. "$(dirname "$0")/common.sh"
require perl

cat >"$work/session.pl" <<'END'
use strict;
use warnings;

my $state = 1;
sub random { $state = $state * 16807 % 2147483647; return $state % $_[0]; }
sub show { my ($name, $text) = @_; print "$name ", length $text, " ", unpack("%32C*", $text), "\n"; }

my %count;
my @words = map { join '', map { chr(97 + random(26)) } 0 .. random(12) } 1 .. 100_000;
$count{$_}++ for @words;
show("hash", join ' ', map { "$_=$count{$_}" } sort keys %count);
delete $count{$_} for grep { length > 5 } keys %count;
show("rest", join ' ', sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count);

my $text = join ' ', @words;
my @found = $text =~ /\b(a\w*?[xyz])\b/g;
show("match", "@found");
(my $changed = $text) =~ s/(\w)(\w+)/$2$1ay/g;
show("substitute", $changed);

my $grown = '';
$grown .= $_ x 3 for @words;
show("string", $grown);

my @tree;
push @tree, { left => [ 1 .. random(20) ], name => $words[$_], deep => { map { $_ => [$_] } 0 .. random(5) } } for 0 .. 20_000;
splice @tree, random(scalar @tree), 1 for 1 .. 5_000;
show("tree", join ',', map { scalar @{ $_->{left} } . $_->{name} . scalar keys %{ $_->{deep} } } @tree);

for my $i (1 .. 10) {
    my $pid = open my $child, '-|';
    if (!$pid) { print join ' ', sort @words[ 0 .. $i * 1000 ]; exit 0; }
    local $/;
    show("child $i", <$child>);
}
END
compare perl "$work/session.pl"
