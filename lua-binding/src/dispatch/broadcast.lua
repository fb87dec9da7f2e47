-- One message for many connections (S20).
local ws = ...

local raw = ws.raw
local error, ipairs, pairs, tostring, type = error, ipairs, pairs, tostring, type
local first_of = ws.first_of

local NAME = "coromega:send_to_many"
local TEXT, BINARY = 1, 2
local UNCOMPRESSED = 2
local SLOW = { wait = 0, drop_newest = 1, drop_oldest = 2, close = 3 }
local WAIT = 0

-- Kind, flags and policy of a broadcast.
local function settings(options)
  local kind, flags, slow = TEXT, 0, WAIT
  if options == nil then return kind, flags, slow end
  if type(options) ~= "table" then
    error(("%s: options must be a table, not %s"):format(NAME, type(options)), 5)
  end
  for name, value in pairs(options) do
    if name == "slow" then
      slow = SLOW[value]
      if not slow then
        error(NAME .. ": option slow is wait, drop_newest, drop_oldest or close", 5)
      end
    elseif name ~= "binary" and name ~= "compress" then
      error(("%s: there is no option %s"):format(NAME, tostring(name)), 5)
    elseif type(value) ~= "boolean" then
      error(("%s: option %s must be a boolean, not %s"):format(NAME, name, type(value)), 5)
    end
  end
  if options.binary then kind = BINARY end
  if options.compress == false then flags = UNCOMPRESSED end
  return kind, flags, slow
end

-- Returns how many connections accepted it, and a table of the others and why not, or nil.
function ws.send_to_many(conns, message, options)
  if type(conns) ~= "table" then
    error(("%s: the connections must be a sequence, not %s"):format(NAME, type(conns)), 3)
  elseif type(message) ~= "string" then
    error(("%s: the message must be a string, not %s"):format(NAME, type(message)), 3)
  end
  local kind, flags, slow = settings(options)
  local handles, known, waiting = {}, {}, {}
  for _, conn in ipairs(conns) do
    local r = ws.connection_record(conn, "send_to_many")
    if slow == WAIT and r.senders.last ~= 0 and first_of(r.senders) then
      waiting[#waiting + 1] = conn -- behind those who came first
    else
      handles[#handles + 1] = r.handle
      known[#known + 1] = conn
    end
  end
  local accepted, refused = raw.send_to_many(handles, kind, message, flags, slow)
  if not accepted then return nil, refused end
  local errors
  local function refuse(conn, err)
    errors = errors or {}
    errors[conn] = err
  end
  for place, why in pairs(refused) do
    if why then
      refuse(known[place], why)
    elseif slow == WAIT then
      waiting[#waiting + 1] = known[place]
    else
      refuse(known[place], "would block")
    end
  end
  for _, conn in ipairs(waiting) do
    local err = ws.send_waiting(conn, conn._record, kind, message, flags)
    if err then refuse(conn, err) else accepted = accepted + 1 end
  end
  return accepted, errors
end
