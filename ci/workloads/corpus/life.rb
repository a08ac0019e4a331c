# The game of life on a torus; the population of each generation.
size, generations = ARGV.map(&:to_i)
state = 12_345
cells = Array.new(size) { Array.new(size) { (state = (state * 1_103_515_245 + 12_345) % 2**31) >> 16 & 1 } }
generations.times do |generation|
  cells = Array.new(size) do |y|
    above, row, below = cells[y - 1], cells[y], cells[(y + 1) % size]
    Array.new(size) do |x|
      left, right = x - 1, (x + 1) % size
      near = above[left] + above[x] + above[right] + row[left] + row[right] + below[left] + below[x] + below[right]
      near == 3 || (near == 2 && row[x] == 1) ? 1 : 0
    end
  end
  puts "#{generation}: #{cells.sum(&:sum)}"
end
puts cells.map(&:join).first(3)
