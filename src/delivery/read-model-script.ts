// read-model-script.ts: the read model's one writer, which Redis runs as one step: line, indexes, counts and events of a task
// agree at every moment. Owns what becomes of a word (line.ts) and the names of the keys.
//
//   @line:<bucket>          hash: a task's line by its id
//   @in:<queue>:<state>     members in order; their number is the count
//   @type:<type>, @error:<code>, @tasks          likewise
//   @due:<queue>            waiting tasks by when they were, or will be, due
//   @queues                 queues that have or had tasks
//   @events                 stream of changes of state

/** `KEYS[1]`: what every key begins with. `ARGV[1]`: events kept; then five arguments per word: how, bucket, id, line, instead. */
export const readModelScript = `
local prefix = KEYS[1]
local kept = ARGV[1]
local states = { 'waiting', 'running', 'completed', 'failed', 'cancelled', 'uncertain' }

local function parts(line)
  return string.match(line, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)')
end

-- The indexes that a line is in, with its member there.
local function places(id, line)
  local stamp, state, queue, kind, code, due = parts(line)
  local member = string.sub(stamp, 1, 15) .. ':' .. id
  local at = {
    [prefix .. 'tasks'] = member,
    [prefix .. 'type:' .. kind] = member,
    [prefix .. 'in:' .. queue .. ':' .. state] = member,
  }
  if code ~= '-' then at[prefix .. 'error:' .. code] = member end
  return at, queue, due
end

-- What becomes of the indexes, written at the end with one command per index: by key, then by member, its score; false: it leaves.
local indexes = {}
local function put(key, member, score)
  local members = indexes[key]
  if not members then
    members = {}
    indexes[key] = members
  end
  members[member] = score
end

-- Queues that may have become empty.
local left = {}

local function unindex(id, line)
  local at, queue, due = places(id, line)
  for key, member in pairs(at) do put(key, member, false) end
  if due ~= '-' then put(prefix .. 'due:' .. queue, id, false) end
  left[queue] = true
end

-- Only what differs is written: a task that moves keeps most of its places.
local function reindex(id, old, line)
  local at, queue, due = places(id, line)
  local was, wasQueue, wasDue = {}, nil, '-'
  if old then was, wasQueue, wasDue = places(id, old) end
  if old and wasQueue ~= queue then
    unindex(id, old)
    was, wasDue = {}, '-'
  end
  for key, member in pairs(was) do
    if at[key] ~= member then put(key, member, false) end
  end
  for key, member in pairs(at) do
    if was[key] ~= member then put(key, member, 0) end
  end
  if due ~= wasDue then put(prefix .. 'due:' .. queue, id, due ~= '-' and due) end
  if queue ~= wasQueue then redis.call('SADD', prefix .. 'queues', queue) end
end

local function writeIndexes()
  for key, members in pairs(indexes) do
    local added, removed = {}, {}
    for member, score in pairs(members) do
      if score then
        added[#added + 1] = score
        added[#added + 1] = member
      else
        removed[#removed + 1] = member
      end
    end
    if #added > 0 then redis.call('ZADD', key, unpack(added)) end
    if #removed > 0 then redis.call('ZREM', key, unpack(removed)) end
  end
  for queue in pairs(left) do
    local isEmpty = true
    for _, state in ipairs(states) do
      isEmpty = isEmpty and redis.call('EXISTS', prefix .. 'in:' .. queue .. ':' .. state) == 0
    end
    if isEmpty then redis.call('SREM', prefix .. 'queues', queue) end
  end
end

local function event(id, old, line)
  local stamp, state, _, _, _, _, attempt = parts(line)
  local from = '-'
  if old then
    local wasStamp, wasState, _, _, _, _, wasAttempt = parts(old)
    if string.sub(wasStamp, 1, 15) == string.sub(stamp, 1, 15) then
      if wasState == state and wasAttempt == attempt then return end
      from = wasState
    end
  end
  redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', kept, '*', 'id', id, 'from', from, 'line', line)
end

local newer = {}
-- Of words that were passed over in this call: what the next change came from.
local passed = {}
for at = 2, #ARGV, 5 do
  local how, hash, id, line, instead = ARGV[at], prefix .. 'line:' .. ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local old = redis.call('HGET', hash, id)
  local stamp, was = string.sub(line, 1, 26), old and string.sub(old, 1, 26)
  if how == 'gone' then
    if was and was <= stamp then
      unindex(id, old)
      redis.call('HDEL', hash, id)
    end
  elseif how == 'passed' then
    if not was or was < stamp then
      event(id, passed[id] or old, line)
      passed[id] = line
    end
  elseif (how == 'instead' and was == instead) or (how ~= 'instead' and (not was or was < stamp)) then
    reindex(id, old, line)
    redis.call('HSET', hash, id, line)
    -- A task that a pass over the ledger finds is no news of its own.
    if old or how == 'told' then event(id, passed[id] or old, line) end
  elseif how == 'found' and was > stamp then
    newer[#newer + 1] = id
    newer[#newer + 1] = was
  end
end
writeIndexes()
return newer
`;
