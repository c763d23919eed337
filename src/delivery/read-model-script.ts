// read-model-script.ts: the read model's one writer, which Redis runs as one step: line, indexes, counts and events of a task
// agree at every moment. Owns what becomes of a word (sheet.ts) and the names of the keys.
//
//   @line:<bucket>          hash: a task's line by its id
//   @in:<queue>:<state>     members in order; their number is the count
//   @in:<queue>:later       instead, of waiting tasks that are, or were, due only after they were accepted
//   @due:<queue>            those, by when
//   @type:<type>, @error:<code>     members in order
//   @queues, @types         those that have tasks
//   @events                 stream of changes of state, a sheet an entry: its id is that of its last change, `<ms>-<serial>`

/** `KEYS[1]`: what every key begins with. `ARGV`: changes kept; the stamp that `i` replaces; sheets. */
export const readModelScript = `
local call, find, sub, match = redis.call, string.find, string.sub, string.match
local prefix, kept, instead = KEYS[1], tonumber(ARGV[1]), ARGV[2]
local events = prefix .. 'events'
local places = { 'waiting', 'later', 'running', 'completed', 'failed', 'cancelled', 'uncertain' }

-- What becomes of the indexes, written at the end with one command each. A task is in a call once: no member both comes and goes.
local indexes = {}
local function index(name)
  local key = prefix .. name
  local known = indexes[key]
  if not known then
    known = { added = {}, removed = {} }
    indexes[key] = known
  end
  return known
end

local function add(to, score, member)
  local added = to.added
  added[#added + 1] = score
  added[#added + 1] = member
end

local function remove(from, member)
  local removed = from.removed
  removed[#removed + 1] = member
end

-- Where tasks of these words are found: those of a call share a few.
local known = {}
local nowhere = {}
local function placeOf(words)
  local place = known[words]
  if not place then
    local state, queue, kind, code, due, attempt = match(words, '(%S+) (%S+) (%S+) (%S+) (%S+) (%S+)')
    local isLater = due ~= '-'
    place = {
      state = state, attempt = attempt, queue = queue, kind = kind,
      byState = index('in:' .. queue .. ':' .. (isLater and 'later' or state)), byType = index('type:' .. kind),
      byCode = code ~= '-' and index('error:' .. code) or nil,
      byDue = isLater and index('due:' .. queue) or nil, due = due,
    }
    known[words] = place
  end
  return place
end

-- A line of another form is as good as none: no index knows of it.
local function read(line)
  local till = find(line, '|', 28, true)
  if not till then return nil end
  return { stamp = sub(line, 1, 26), accepted = sub(line, 1, 15), place = placeOf(sub(line, 28, till - 1)) }
end

-- Queues and types that have tasks for the first time, or perhaps no more.
local queues, kinds = {}, {}

local function swap(from, to, before, after)
  if from == to and before == after then return end
  if from then remove(from, before) end
  if to then add(to, '0', after) end
end

-- Nil: from nowhere, or to nowhere.
local function move(id, old, new)
  local from, to = old and old.place or nowhere, new and new.place or nowhere
  local before, after = old and old.accepted .. ':' .. id, new and new.accepted .. ':' .. id
  swap(from.byType, to.byType, before, after)
  swap(from.byState, to.byState, before, after)
  swap(from.byCode, to.byCode, before, after)
  if from.byDue ~= to.byDue or from.due ~= to.due then
    if from.byDue and from.byDue ~= to.byDue then remove(from.byDue, id) end
    if to.byDue then add(to.byDue, to.due, id) end
  end
  if from.queue ~= to.queue then
    if old then queues[from.queue] = true end
    if new then queues[to.queue] = true end
  end
  if from.kind ~= to.kind then
    if old then kinds[from.kind] = true end
    if new then kinds[to.kind] = true end
  end
end

local function enlist(registry, name, keys)
  local stands = call('EXISTS', unpack(keys)) > 0
  call(stands and 'SADD' or 'SREM', prefix .. registry, name)
end

local function writeIndexes()
  for key, members in pairs(indexes) do
    if #members.removed > 0 then call('ZREM', key, unpack(members.removed)) end
    if #members.added > 0 then call('ZADD', key, unpack(members.added)) end
  end
  for queue in pairs(queues) do
    local keys = {}
    for n, place in ipairs(places) do keys[n] = prefix .. 'in:' .. queue .. ':' .. place end
    enlist('queues', queue, keys)
  end
  for kind in pairs(kinds) do enlist('types', kind, { prefix .. 'type:' .. kind }) end
end

-- Changes of the sheet that is being read: of each of its lines the state before, '-' where that is not known, '.' where nothing changed.
local froms, changes

local function note(before, task)
  local from = '.'
  if not before or before.accepted ~= task.accepted then
    from = '-'
  elseif before.place.state ~= task.place.state or before.place.attempt ~= task.place.attempt then
    from = before.place.state
  end
  if from ~= '.' then changes = changes + 1 end
  froms[#froms + 1] = from
end

local function skip()
  froms[#froms + 1] = '.'
end

local hashes = {}
local function hashOf(bucket)
  local hash = hashes[bucket] or prefix .. 'line:' .. bucket
  hashes[bucket] = hash
  return hash
end

local newer = {}

-- Words about one task: what it was, and what is told of it now.
local function tell(how, hash, id, passed, line)
  -- Of a first version there is nothing yet as a rule: that one command then finds out and shows it.
  local isShown = how == 't' and sub(line, 17, 26) == '0000000000' and call('HSETNX', hash, id, line) == 1
  local shown = not isShown and call('HGET', hash, id)
  local old = shown and read(shown) or nil
  local last = old
  for _, earlier in ipairs(passed) do
    local task = read(earlier)
    if not last or last.stamp < task.stamp then
      note(last, task)
      last = task
    else
      skip()
    end
  end
  local stamp = sub(line, 1, 26)
  if how == 'g' then
    if not old or old.stamp <= stamp then
      if old then move(id, old, nil) end
      call('HDEL', hash, id)
    end
  elseif (how == 'i' and old and old.stamp == instead) or (how ~= 'i' and (not old or old.stamp < stamp)) then
    local task = read(line)
    move(id, old, task)
    if not isShown then call('HSET', hash, id, line) end
    -- A task that a pass over the ledger finds is no news of its own.
    if old or how == 't' then return note(last, task) end
  elseif how == 'f' and old.stamp > stamp then
    newer[#newer + 1] = id
    newer[#newer + 1] = old.stamp
  end
  skip()
end

local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local serial = 0
local newest = call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
newest = newest and newest[1]
-- Emptied by somebody, it takes none but later ids all the same.
if not newest and call('EXISTS', events) == 1 then
  local info = call('XINFO', 'STREAM', events)
  for n = 1, #info, 2 do
    if info[n] == 'last-generated-id' then newest = info[n + 1] end
  end
end
if newest then
  local at, number = match(newest, '(%d+)-(%d+)')
  now, serial = math.max(now, tonumber(at)), tonumber(number)
end
local began = serial
local entries = {}

for at = 3, #ARGV do
  local sheet = ARGV[at]
  local passed, from = {}, 1
  froms, changes = {}, 0
  while from < #sheet do
    local till = find(sheet, '\\n', from, true)
    if sub(sheet, from, from) == '+' then
      passed[#passed + 1] = sub(sheet, from + 1, till - 1)
    else
      local space = find(sheet, ' ', from, true)
      local bucket = sub(sheet, from + 1, from + 2)
      tell(sub(sheet, from, from), hashOf(bucket), sub(sheet, from + 3, space - 1), passed, sub(sheet, space + 1, till - 1))
      passed = {}
    end
    from = till + 1
  end
  if changes > 0 then
    serial = serial + changes
    entries[#entries + 1] = { string.format('%.0f-%.0f', now, serial), table.concat(froms, ' '), sheet }
  end
end
-- Before the events, which Redis may refuse: lines and indexes agree all the same.
writeIndexes()
for _, entry in ipairs(entries) do call('XADD', events, entry[1], 'from', entry[2], 'sheet', entry[3]) end

-- An entry has a change at least: as many as came are enough.
for _ = began + 1, serial do
  local oldest = call('XRANGE', events, '-', '+', 'COUNT', 1)[1]
  if not oldest or serial - tonumber(match(oldest[1], '%d+$')) < kept then break end
  call('XDEL', events, oldest[1])
end
return newer
`;
