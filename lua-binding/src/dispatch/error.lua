-- Errors: what is raised, what is reported (S4), and how an interrupt is told from either.
local ws = ...

local error, getmetatable, tostring, type = error, getmetatable, tostring, type
local create, resume = coroutine.create, coroutine.resume
local stderr = io and io.stderr
local traceback = debug and debug.traceback

local LONGEST = 1000 -- of what is shown of a table

-- An error's text: that of its __tostring, or what is in a table. What a script's metamethods do
-- may fail or wait, so it runs in a coroutine of its own.
local function text_of(err)
  if type(err) == "string" then return err end
  local ok, text = resume(create(function()
    local meta = getmetatable(err)
    if type(err) ~= "table" or (type(meta) == "table" and meta.__tostring) then return tostring(err) end
    local shown = ws.show(err, 2)
    if #shown > LONGEST then shown = shown:sub(1, LONGEST) .. "..." end
    return "(error object is a table: " .. shown .. ")"
  end))
  if ok and type(text) == "string" then return text end
  return "(error object is a " .. type(err) .. " value)"
end

-- The standalone interpreters turn Ctrl-C into an error of this text. In LuaJIT it is raised in
-- whatever coroutine runs, so that its text is all there is to know it by.
function ws.interrupted(err)
  return type(err) == "string" and err:sub(-12) == "interrupted!"
end

function ws.describe(co, err, brief)
  local text = text_of(err)
  if brief then return (text:match("^[^\n]*")) end
  if not traceback then return text end
  return traceback(co, text)
end

function ws.write_error(text)
  if stderr then stderr:write(text, "\n") end
end

-- These raise for an argument of the wrong type, at the script's own line: 3 calls up, or
-- `level`.
function ws.expect_seconds(value, name, what, level)
  if type(value) ~= "number" or value ~= value then
    error(("%s: %s must be a number of seconds, not %s"):format(name, what, tostring(value)),
      level or 3)
  end
end

function ws.expect_function(value, name, level)
  if value ~= nil and type(value) ~= "function" then
    error(("%s: the callback must be a function or nil, not %s"):format(name, type(value)),
      level or 3)
  end
end
