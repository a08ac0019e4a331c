-- Primes by a table, then a checksum by a string buffer that grows.
local limit, rounds = tonumber(arg[1]), tonumber(arg[2])
for round = 1, rounds do
    local composite, count, parts = {}, 0, {}
    for i = 2, limit do
        if not composite[i] then
            count = count + 1
            parts[#parts + 1] = string.format("%x", i * round)
            for j = i * i, limit, i do composite[j] = true end
        end
    end
    local text, sum = table.concat(parts, ","), round
    for i = 1, #text, 3 do sum = (sum * 31 + text:byte(i)) % 1000000007 end
    print(round, count, #text, sum)
end
