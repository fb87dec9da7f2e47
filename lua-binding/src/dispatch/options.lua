-- Options and headers (S8): their shape is checked here, their meaning in the library.
local ws = ...

local error, ipairs, pairs, type = error, ipairs, pairs, type
local floor = math.floor
local integer = math.type and function(n) return math.type(n) == "integer" end

local function decimal(n)
  if integer and integer(n) then return ("%d"):format(n) end
  if n == floor(n) and n > -2 ^ 53 and n < 2 ^ 53 then return ("%.0f"):format(n) end
  return ws.number_text(n)
end

local function up(level) return level > 0 and level + 1 or 0 end

local function put(list, name, value, caller, level)
  local kind = type(value)
  if kind == "number" then
    value = decimal(value)
  elseif kind ~= "string" then
    error(("%s: header %s must be a string, a number or a list of those, not %s")
      :format(caller, name, kind), up(level))
  end
  list[#list + 1] = name
  list[#list + 1] = value
end

-- Names and values in turn. Errors are raised `level` calls up, here and below; 0 is no place.
function ws.flat_headers(headers, caller, level)
  if headers == nil then return nil end
  if type(headers) ~= "table" then
    error(("%s: headers must be a table, not %s"):format(caller, type(headers)), level)
  end
  local list = {}
  for name, value in pairs(headers) do
    if type(name) ~= "string" then
      error(("%s: a header's name must be a string, not %s"):format(caller, type(name)), level)
    end
    if type(value) == "table" then
      for _, item in ipairs(value) do put(list, name, item, caller, level) end
    else
      put(list, name, value, caller, level)
    end
  end
  return list
end

-- A connect's headers: options that were put in their place are not sent to a server.
function ws.request_headers(headers, caller, level)
  local list = ws.flat_headers(headers, caller, level + 1)
  for name in pairs(list and headers or {}) do
    if name:find("^[%l_]+$") and ws.raw.is_option(name) then
      error(("%s: %s is an option, and options are the third argument (a header of this name is "
        .. "sent when it is spelled with a capital)"):format(caller, name), level)
    end
  end
  return list
end

local function put_list(list, name, value, caller, level)
  local count = 0
  for _ in pairs(value) do count = count + 1 end
  if count ~= #value then
    error(("%s: option %s must be a sequence of strings, without other keys or holes")
      :format(caller, name), level + 1)
  end
  for place, item in ipairs(value) do
    if type(item) ~= "string" then
      error(("%s: option %s: element %d must be a string, not %s")
        :format(caller, name, place, type(item)), level + 1)
    end
    list[#list + 1] = name
    list[#list + 1] = item
  end
end

local function put_option(list, name, value, caller, level)
  local kind = type(value)
  if name == "response_headers" then
    local fields = ws.flat_headers(value, caller .. ": response_headers", level + 2)
    for place = 1, #fields, 2 do
      list[#list + 1] = name
      list[#list + 1] = fields[place] .. ": " .. fields[place + 1]
    end
  elseif kind == "table" then
    put_list(list, name, value, caller, level + 1)
  elseif kind == "number" or kind == "string" or kind == "boolean" then
    if kind == "boolean" then value = value and 1 or 0 end
    list[#list + 1] = name
    list[#list + 1] = value
  else
    error(("%s: option %s must be a number, a boolean, a string or a sequence of strings, not %s")
      :format(caller, name, kind), level + 1)
  end
end

-- Whether messages are to be received in fragments.
function ws.wants_fragments(options)
  return options ~= nil and (options.fragments == true or options.fragments == 1)
end

-- Names and values in turn: numbers, 1 and 0 for flags, texts. A list has its name before each
-- element. Without the option named `own`, which is the caller's.
function ws.flat_options(options, caller, level, own)
  if options == nil then return nil end
  if type(options) ~= "table" then
    error(("%s: options must be a table, not %s"):format(caller, type(options)), level)
  end
  local list = {}
  for name, value in pairs(options) do
    if type(name) ~= "string" then
      error(("%s: an option's name must be a string, not %s"):format(caller, type(name)), level)
    elseif name ~= own then
      put_option(list, name, value, caller, level)
    end
  end
  return list
end
