-- coromega:print shows tables readably.
local ws = ...

local concat, sort = table.concat, table.sort
local pairs, print, tostring, type = pairs, print, tostring, type
local getmetatable, select = getmetatable, select

local DEPTH = 8

local function quoted(text)
  return (("%q"):format(text):gsub("\\\n", "\\n"))
end

local function name_of(key, show)
  if type(key) == "string" and key:find("^[%a_][%w_]*$") then return key end
  return "[" .. show(key) .. "]"
end

local function less(a, b)
  if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
  return tostring(a) < tostring(b)
end

local function show(value, depth, seen)
  if type(value) == "string" then return quoted(value) end
  if type(value) ~= "table" then return tostring(value) end
  local meta = getmetatable(value)
  if type(meta) == "table" and meta.__tostring then return tostring(value) end
  if seen[value] then return "<cycle>" end
  if depth == DEPTH then return "{...}" end
  seen[value] = true
  local parts, length = {}, 0
  while value[length + 1] ~= nil do
    length = length + 1
    parts[length] = show(value[length], depth + 1, seen)
  end
  local keys = {}
  for key in pairs(value) do
    if not (type(key) == "number" and key >= 1 and key <= length and key % 1 == 0) then
      keys[#keys + 1] = key
    end
  end
  sort(keys, less)
  for _, key in pairs(keys) do
    parts[#parts + 1] = name_of(key, function(k) return show(k, depth + 1, seen) end)
      .. " = " .. show(value[key], depth + 1, seen)
  end
  seen[value] = nil
  return "{" .. concat(parts, ", ") .. "}"
end

-- What is in a table, so many levels deep.
function ws.show(value, levels) return show(value, DEPTH - levels, {}) end

function ws.print(...)
  local parts = { ... }
  for place = 1, select("#", ...) do
    local value = parts[place]
    parts[place] = type(value) == "string" and value or show(value, 0, {})
  end
  print(concat(parts, "\t"))
end
