-- The log: what the library says of its work, where a script asks for it.
local ws = ...

local error, tostring = error, tostring

local LEVELS = { error = 1, warning = 2, info = 3, debug = 4 }
local NAMES = { "error", "warning", "info", "debug" }

local handler, wanted

-- Has fn(level, text) called for what matters so much or more; nil for nothing.
function ws.on_log(fn, level)
  ws.expect_function(fn, "coromega:on_log", 4)
  local number = LEVELS[level == nil and "info" or level]
  if not number then
    error(('coromega:on_log: the level must be "error", "warning", "info" or "debug", not %s')
      :format(tostring(level)), 3)
  end
  handler, wanted = fn, fn and number or 0
  local _, err = ws.raw.set_log_level(wanted)
  if err == "forked" then ws.renew() end
end

-- In a child of fork, whose mailbox is a new one.
function ws.renew_log()
  if wanted then ws.raw.set_log_level(wanted) end
end

function ws.on_log_record(level, text)
  local fn = handler
  if fn then ws.start(function() return fn(NAMES[level], text) end) end
end
