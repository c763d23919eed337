// read-model-script.ts: the read model's one writer, which Redis runs as one step: line, indexes, counts and events of a task
// agree at every moment. Owns what becomes of a word (line.ts) and the names of the keys.
//
//   @line:<bucket>          hash: a task's line by its id
//   @in:<queue>:<state>     members in order; their number is the count
//   @type:<type>, @error:<code>, @tasks          likewise
//   @due:<queue>            waiting tasks by when they were, or will be, due
//   @queues                 queues that have tasks
//   @events                 stream of changes of state

/** `KEYS[1]`: what every key begins with. `ARGV[1]`: events kept; then five arguments per word: how, bucket, id, line, instead. */
export const readModelScript = `
local prefix = KEYS[1]
local kept = ARGV[1]
local states = { 'waiting', 'running', 'completed', 'failed', 'cancelled', 'uncertain' }

local function read(id, line)
  local accepted, state, queue, kind, code, due, attempt =
    string.match(line, '^(%d+)%.%d+ (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)')
  if not accepted then return nil end
  return {
    id = id, member = accepted .. ':' .. id, state = state, queue = queue,
    kind = kind, code = code, due = due, attempt = attempt,
  }
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

local function putState(task, score)
  put(prefix .. 'in:' .. task.queue .. ':' .. task.state, task.member, score)
end

local function putCode(task, score)
  if task.code ~= '-' then put(prefix .. 'error:' .. task.code, task.member, score) end
end

local function putDue(task, score)
  if task.due ~= '-' then put(prefix .. 'due:' .. task.queue, task.id, score) end
end

-- Queues that may have become empty.
local left = {}

local function unindex(task)
  put(prefix .. 'tasks', task.member, false)
  put(prefix .. 'type:' .. task.kind, task.member, false)
  putState(task, false)
  putCode(task, false)
  putDue(task, false)
  left[task.queue] = true
end

local function index(task)
  put(prefix .. 'tasks', task.member, 0)
  put(prefix .. 'type:' .. task.kind, task.member, 0)
  putState(task, 0)
  putCode(task, 0)
  putDue(task, task.due)
  redis.call('SADD', prefix .. 'queues', task.queue)
end

-- A task that moves keeps most of its places.
local function reindex(old, task)
  if not old then return index(task) end
  if old.member ~= task.member or old.queue ~= task.queue or old.kind ~= task.kind then
    unindex(old)
    return index(task)
  end
  if old.state ~= task.state then
    putState(old, false)
    putState(task, 0)
  end
  if old.code ~= task.code then
    putCode(old, false)
    putCode(task, 0)
  end
  if old.due ~= task.due then
    putDue(old, false)
    putDue(task, task.due)
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
  for queue in pairs(left) do
    local isEmpty = true
    for _, state in ipairs(states) do
      isEmpty = isEmpty and redis.call('EXISTS', prefix .. 'in:' .. queue .. ':' .. state) == 0
    end
    if isEmpty then redis.call('SREM', prefix .. 'queues', queue) end
  end
end

local function event(old, task, line)
  local from = '-'
  if old and old.member == task.member then
    if old.state == task.state and old.attempt == task.attempt then return end
    from = old.state
  end
  redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', kept, '*', 'id', task.id, 'from', from, 'line', line)
end

local newer = {}
-- Of words that were passed over in this call: what the next change came from.
local passed = {}
for at = 2, #ARGV, 5 do
  local how, hash, id, line, instead = ARGV[at], prefix .. 'line:' .. ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local was = redis.call('HGET', hash, id)
  -- A line of another form is as good as none: no index knows of it.
  local old = was and read(id, was)
  local stamp, shown = string.sub(line, 1, 26), old and string.sub(was, 1, 26)
  if how == 'gone' then
    if not shown or shown <= stamp then
      if old then unindex(old) end
      redis.call('HDEL', hash, id)
    end
  elseif how == 'passed' then
    if not shown or shown < stamp then
      local task = read(id, line)
      event(passed[id] or old, task, line)
      passed[id] = task
    end
  elseif (how == 'instead' and shown == instead) or (how ~= 'instead' and (not shown or shown < stamp)) then
    local task = read(id, line)
    reindex(old, task)
    redis.call('HSET', hash, id, line)
    -- A task that a pass over the ledger finds is no news of its own.
    if old or how == 'told' then event(passed[id] or old, task, line) end
  elseif how == 'found' and shown > stamp then
    newer[#newer + 1] = id
    newer[#newer + 1] = shown
  end
end
writeIndexes()
return newer
`;
