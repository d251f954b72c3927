-- One member's report, and the shared breaker after it. All times are microseconds of the server.
-- KEYS: state (hash), probes under way (sorted by the end of their lease), window (hash)
-- ARGV: faults window share minimum cooldown probes successes lease interval keep (durations in us)
--       generation ("" if not known) calls faults wants reset, then pairs: lease, what became of it
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local function whole(number) return string.format('%.0f', number) end
local got = redis.call('HMGET', KEYS[1], 'mode', 'generation', 'since', 'proven', 'probed', 'issued')
local mode, generation = got[1] or 'closed', tonumber(got[2] or 0)
local since, proven = tonumber(got[3] or now), tonumber(got[4] or 0)
local probed, issued = tonumber(got[5] or 0), tonumber(got[6] or 0)
local faults, window, share, minimum = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local cooldown, probes, successes = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local lease, interval, keep = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])

local function turn(into)
  mode, generation, since, proven = into, generation + 1, now, 0
  redis.call('DEL', KEYS[2], KEYS[3])
end

if mode == 'half_open' and redis.call('ZCOUNT', KEYS[2], '-inf', whole(now)) > 0 then
  turn('open')
end
if ARGV[15] == '1' and mode ~= 'closed' then turn('closed') end
for at = 16, #ARGV, 2 do
  local fate = ARGV[at + 1]
  if fate == 'begun' then
    redis.call('ZADD', KEYS[2], 'XX', whole(now + lease), ARGV[at])
  elseif mode == 'half_open' and redis.call('ZREM', KEYS[2], ARGV[at]) == 1 then
    if fate == 'fault' then
      turn('open')
    elseif fate == 'unused' then
      if tonumber(ARGV[at]) == issued then probed = 0 end -- no probe was made: the next need not wait
    elseif fate == 'success' then
      proven = proven + 1
      if proven >= successes then turn('closed') end
    end
  end
end

local about_now = ARGV[11] == '' or tonumber(ARGV[11]) == generation
local calls, bad = tonumber(ARGV[12]), tonumber(ARGV[13])
if mode == 'closed' and about_now and calls > 0 and window > 0 then
  local slot = math.floor(now * 20 / window)
  redis.call('HINCRBY', KEYS[3], 'c' .. whole(slot), calls)
  redis.call('HINCRBY', KEYS[3], 'f' .. whole(slot), bad)
  local seen = {c = 0, f = 0}
  local fields = redis.call('HGETALL', KEYS[3])
  for at = 1, #fields, 2 do
    local kind, step = string.sub(fields[at], 1, 1), tonumber(string.sub(fields[at], 2))
    if step > slot - 20 then
      seen[kind] = seen[kind] + fields[at + 1]
    else
      redis.call('HDEL', KEYS[3], fields[at])
    end
  end
  if bad > 0 and seen.f >= faults and seen.c >= minimum and seen.f >= share * seen.c then
    turn('open')
  end
end

local given = 0
if ARGV[14] == '1' then
  if mode == 'open' and now - since >= cooldown then turn('half_open') end
  local free = math.min(probes, successes - proven) - redis.call('ZCARD', KEYS[2])
  if mode == 'half_open' and free > 0 and now - probed >= interval then
    issued, probed = issued + 1, now
    given = issued
    redis.call('ZADD', KEYS[2], whole(now + lease), whole(issued))
  end
end
redis.call('HSET', KEYS[1], 'mode', mode, 'generation', whole(generation), 'since', whole(since),
  'proven', whole(proven), 'probed', whole(probed), 'issued', whole(issued))
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, whole(keep)) end
return {generation, mode, whole(now - since), given}
