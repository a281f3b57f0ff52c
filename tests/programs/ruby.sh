#!/bin/sh
. "$(dirname "$0")/common.sh"
require ruby

cat >"$work/session.rb" <<'END'
require 'digest'

def show(name, text)
  puts "#{name} #{text.bytesize} #{Digest::SHA256.hexdigest(text)}"
  $stdout.flush
end

random = Random.new(1)
words = Array.new(100_000) { Array.new(1 + random.rand(12)) { (97 + random.rand(26)).chr }.join }
count = Hash.new(0)
words.each { |word| count[word] += 1 }
show 'hash', count.sort.inspect
show 'gsub', words.join(' ').gsub(/([aeiou])(\w)/) { $2.upcase + $1 }

nested = (0...20_000).map { |i| { name: words[i], list: (0..i % 20).to_a, text: words[i] * (i % 30) } }
copy = Marshal.load(Marshal.dump(nested))
show 'marshal', (copy == nested).to_s + copy.last.inspect
20.times do |i|
  nested.reject! { |row| row[:list].size == i }
  GC.start
end
show 'rest', nested.inspect

results = (0...8).map do |number|
  Thread.new { (0...5000).map { |i| (words[i] * (1 + number)).reverse }.sort.join }
end
show 'threads', results.map(&:value).join

5.times do |i|
  reader, writer = IO.pipe
  child = fork do
    reader.close
    writer.write(words.first(1000 * (i + 1)).sort.join)
    writer.close
    exit!(0)
  end
  writer.close
  show "child #{i}", reader.read
  Process.wait(child)
end

grown = +''
words.each { |word| grown << word * 5 }
show 'string', grown
END
compare ruby "$work/session.rb"
