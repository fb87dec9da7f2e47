-- Options and headers (S8): their shape is checked here, their meaning in the library.
local ws = ...

local error, ipairs, pairs, type = error, ipairs, pairs, type
local floor = math.floor
local integer = math.type and function(n) return math.type(n) == "integer" end

-- Raises for anything but a table of numbers by name.
function ws.expect_options(options, name, level)
  if options == nil then return end
  if type(options) ~= "table" then
    error(("%s: options must be a table, not %s"):format(name, type(options)), level or 3)
  end
  for key, value in pairs(options) do
    if type(key) ~= "string" then
      error(("%s: an option's name must be a string, not %s"):format(name, type(key)), level or 3)
    elseif type(value) ~= "number" then
      error(("%s: option %s must be a number, not %s"):format(name, key, type(value)), level or 3)
    end
  end
end

local function decimal(n)
  if integer and integer(n) then return ("%d"):format(n) end
  if n == floor(n) and n > -2 ^ 53 and n < 2 ^ 53 then return ("%.0f"):format(n) end
  return ws.number_text(n)
end

local function put(list, name, value, caller)
  local kind = type(value)
  if kind == "number" then
    value = decimal(value)
  elseif kind ~= "string" then
    error(("%s: header %s must be a string, a number or a list of those, not %s")
      :format(caller, name, kind), 5)
  end
  list[#list + 1] = name
  list[#list + 1] = value
end

-- Names and values in turn.
function ws.flat_headers(headers, caller)
  if headers == nil then return nil end
  if type(headers) ~= "table" then
    error(("%s: headers must be a table, not %s"):format(caller, type(headers)), 4)
  end
  local list = {}
  for name, value in pairs(headers) do
    if type(name) ~= "string" then
      error(("%s: a header's name must be a string, not %s"):format(caller, type(name)), 4)
    end
    if type(value) == "table" then
      for _, item in ipairs(value) do put(list, name, item, caller) end
    else
      put(list, name, value, caller)
    end
  end
  return list
end
