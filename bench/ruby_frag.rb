# The Ruby workload of Powers et al., "Mesh: Compacting Memory Management for C/C++ Applications" (PLDI 2019, section
# 6.3), as results that come in and are filtered now and then. A round fills what is left of BYTES with strings, twice as
# long as those of the round before, drops three quarters of them at random, collects garbage and rests for PAUSE seconds.
#
# A string is HEADER bytes shorter than its length says, to leave room for Ruby's own.
#
#   ruby ruby_frag.rb [BYTES [SHORTEST [LONGEST [PAUSE [HEADER]]]]]

bytes = (ARGV[0] || 128 << 20).to_i
shortest = (ARGV[1] || 128).to_i
longest = (ARGV[2] || 16_384).to_i
pause = (ARGV[3] || 0.2).to_f
header = (ARGV[4] || 16).to_i

random = Random.new(1)
kept = []
length = shortest
while length <= longest
  round = Array.new(bytes / length) { |i| (97 + i % 26).chr * (length - header) }
  kept.concat(round.shuffle!(random: random).take(round.size / 4))
  bytes -= round.size / 4 * length
  round = nil
  GC.start
  sleep pause
  length *= 2
end
puts "checksum #{kept.sum { |string| string.bytesize * string.getbyte(-1) }}"
