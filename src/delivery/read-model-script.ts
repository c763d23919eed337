// read-model-script.ts: the read model's one writer, which Redis runs as one step: line, indexes, counts and events of a task
// agree at every moment. Owns what becomes of a word (line.ts) and the names of the keys.
//
//   @line:<bucket>          hash: a task's line by its id
//   @in:<queue>:<state>     members in order; their number is the count
//   @type:<type>, @error:<code>, @tasks          likewise
//   @due:<queue>            waiting tasks by when they were, or will be, due
//   @queues                 queues that have tasks
//   @events                 stream of changes of state

/** `KEYS[1]`: what every key begins with. `ARGV[1]`: events kept; then two arguments per word: what is to be done with which task, and its line (line.ts). */
export const readModelScript = `
local prefix = KEYS[1]
local states = { 'waiting', 'running', 'completed', 'failed', 'cancelled', 'uncertain' }

-- What becomes of the indexes, written at the end with one command per index: by key, then by member, its score; false: it leaves.
local indexes = {}
local function index(name)
  local key = prefix .. name
  local members = indexes[key] or {}
  indexes[key] = members
  return members
end

local tasks = index('tasks')

-- The indexes of a state, queue, type and error code: most words of a call share a few of these.
local places = {}
local function placeOf(words)
  local place = places[words]
  if not place then
    local state, queue, kind, code = string.match(words, '(%S+) (%S+) (%S+) (%S+)')
    place = {
      state = state, queue = queue, byState = index('in:' .. queue .. ':' .. state), byType = index('type:' .. kind),
      byCode = code ~= '-' and index('error:' .. code) or nil, byDue = index('due:' .. queue),
    }
    places[words] = place
  end
  return place
end

local function read(id, line)
  local accepted, words, due, attempt = string.match(line, '^(%d+)%.%d+ (%S+ %S+ %S+ %S+) (%S+) (%S+)')
  if not accepted then return nil end
  return { id = id, member = accepted .. ':' .. id, place = placeOf(words), due = due, attempt = attempt }
end

-- Queues that may have become empty.
local left = {}

local function leave(task)
  local place, member = task.place, task.member
  tasks[member] = false
  place.byType[member] = false
  place.byState[member] = false
  if place.byCode then place.byCode[member] = false end
  if task.due ~= '-' then place.byDue[task.id] = false end
  left[place.queue] = true
end

local entered = {}

local function enter(task)
  local place, member = task.place, task.member
  tasks[member] = '0'
  place.byType[member] = '0'
  place.byState[member] = '0'
  if place.byCode then place.byCode[member] = '0' end
  if task.due ~= '-' then place.byDue[task.id] = task.due end
  entered[place.queue] = true
end

-- A task that moves keeps most of its places.
local function move(old, task)
  local from, to, member = old.place, task.place, task.member
  if old.member ~= member or from.queue ~= to.queue or from.byType ~= to.byType then
    leave(old)
    return enter(task)
  end
  if from.byState ~= to.byState then
    from.byState[member] = false
    to.byState[member] = '0'
  end
  if from.byCode ~= to.byCode then
    if from.byCode then from.byCode[member] = false end
    if to.byCode then to.byCode[member] = '0' end
  end
  if old.due ~= task.due then
    to.byDue[task.id] = task.due ~= '-' and task.due
  end
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
  for queue in pairs(entered) do redis.call('SADD', prefix .. 'queues', queue) end
  for queue in pairs(left) do
    local isEmpty = true
    for _, state in ipairs(states) do
      isEmpty = isEmpty and redis.call('EXISTS', prefix .. 'in:' .. queue .. ':' .. state) == 0
    end
    if isEmpty then redis.call('SREM', prefix .. 'queues', queue) end
  end
end

local events = prefix .. 'events'
local function event(old, task, line)
  local from = '-'
  if old and old.member == task.member then
    if old.place.state == task.place.state and old.attempt == task.attempt then return end
    from = old.place.state
  end
  redis.call('XADD', events, '*', 'id', task.id, 'from', from, 'line', line)
end

-- What is shown of a task, as the words before have left it.
local entries = {}
local function entryOf(hash, id)
  local entry = entries[id]
  if not entry then
    local line = redis.call('HGET', hash, id)
    -- A line of another form is as good as none: no index knows of it.
    local task = line and read(id, line) or nil
    entry = { task = task, stamp = task and string.sub(line, 1, 26) }
    entries[id] = entry
  end
  return entry
end

local newer = {}
for at = 2, #ARGV, 2 do
  local line = ARGV[at + 1]
  local how, instead, bucket, id = string.match(ARGV[at], '^(%S+) (%S+) (%S+) (%S+)$')
  local hash = prefix .. 'line:' .. bucket
  local entry = entryOf(hash, id)
  local old, shown, stamp = entry.task, entry.stamp, string.sub(line, 1, 26)
  if how == 'gone' then
    if not shown or shown <= stamp then
      if old then leave(old) end
      redis.call('HDEL', hash, id)
      entry.task, entry.stamp = nil, nil
    end
  elseif how == 'passed' then
    if not shown or shown < stamp then
      local task = read(id, line)
      event(entry.passed or old, task, line)
      -- What the next change comes from.
      entry.passed = task
    end
  elseif (how == 'instead' and shown == instead) or (how ~= 'instead' and (not shown or shown < stamp)) then
    local task = read(id, line)
    if old then move(old, task) else enter(task) end
    redis.call('HSET', hash, id, line)
    entry.task, entry.stamp = task, stamp
    -- A task that a pass over the ledger finds is no news of its own.
    if old or how == 'told' then event(entry.passed or old, task, line) end
  elseif how == 'found' and shown > stamp then
    newer[#newer + 1] = id
    newer[#newer + 1] = shown
  end
end
writeIndexes()
redis.call('XTRIM', events, 'MAXLEN', '~', ARGV[1])
return newer
`;
