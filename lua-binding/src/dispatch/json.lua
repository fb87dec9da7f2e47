-- JSON (RFC 8259), strict both ways (S19). encode and decode return nil and why when they can't.
local ws = ...

local error, next, pcall, rawequal, setmetatable = error, next, pcall, rawequal, setmetatable
local tonumber, tostring, type = tonumber, tostring, type
local concat, sort = table.concat, table.sort
local char, floor, huge, min = string.char, math.floor, math.huge, math.min
local math_type = math.type

local NESTING = 128
local SHOWN = 16 -- keys of the way to a value, in an error's text
local null = setmetatable({}, { __tostring = function() return "null" end })

-- Failures travel as tables, so that they are not taken for other errors.
local function fail(text) error({ json = text }, 0) end

local function result(name, ok, value, ...)
  if ok then return value, ... end
  if type(value) == "table" and value.json then return nil, name .. ": " .. value.json end
  error(value, 0)
end

-- Text ---------------------------------------------------------------------------------------

-- Where a string stops being UTF-8 (RFC 3629), or nil.
local function invalid_utf8(text)
  local place = text:find("[\128-\255]")
  while place do
    local a, b, c, d = text:byte(place, place + 3)
    b, c, d = b or 0, c or 0, d or 0
    local length
    if a >= 0xC2 and a <= 0xDF and b >= 0x80 and b <= 0xBF then
      length = 2
    elseif a >= 0xE0 and a <= 0xEF and c >= 0x80 and c <= 0xBF
      and b >= (a == 0xE0 and 0xA0 or 0x80) and b <= (a == 0xED and 0x9F or 0xBF) then
      length = 3
    elseif a >= 0xF0 and a <= 0xF4 and c >= 0x80 and c <= 0xBF and d >= 0x80 and d <= 0xBF
      and b >= (a == 0xF0 and 0x90 or 0x80) and b <= (a == 0xF4 and 0x8F or 0xBF) then
      length = 4
    else
      return place
    end
    place = text:find("[\128-\255]", place + length)
  end
end

local function utf8_char(code)
  if code < 0x80 then return char(code) end
  if code < 0x800 then return char(0xC0 + floor(code / 0x40), 0x80 + code % 0x40) end
  if code < 0x10000 then
    return char(0xE0 + floor(code / 0x1000), 0x80 + floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
  end
  return char(0xF0 + floor(code / 0x40000), 0x80 + floor(code / 0x1000) % 0x40,
    0x80 + floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
end

local escapes = {
  ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f",
  ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t",
}
for code = 0, 31 do
  local c = char(code)
  escapes[c] = escapes[c] or ("\\u%04x"):format(code)
end

local function encode_string(text)
  if text:find("[\128-\255]") then
    local place = invalid_utf8(text)
    if place then fail(("a string is not UTF-8 (byte %d)"):format(place)) end
  end
  if text:find('[%c"\\]') then text = text:gsub('[%c"\\]', escapes) end
  return '"' .. text .. '"'
end

-- Numbers ------------------------------------------------------------------------------------

-- The shortest decimal text that reads back as the same number.
local function number_text(n)
  local text
  for digits = 14, 17 do
    text = ("%." .. digits .. "g"):format(n)
    if tonumber(text) == n then break end
  end
  return (text:gsub(",", "."))
end
ws.number_text = number_text

local function encode_number(n)
  if n ~= n or n == huge or n == -huge then fail("a number is NaN or infinite") end
  if math_type then
    if math_type(n) == "integer" then return ("%d"):format(n) end
    local text = number_text(n)
    return text:find("[.e]") and text or text .. ".0"
  end
  if n == floor(n) and n > -2 ^ 53 and n < 2 ^ 53 then return ("%.0f"):format(n) end
  return number_text(n)
end

-- Encoding -----------------------------------------------------------------------------------

-- The length of a sequence; 0 for a table with string keys only, nil for an empty one.
local function length_of(t)
  local count, strings, largest = 0, 0, 0
  for key in next, t do
    count = count + 1
    local kind = type(key)
    if kind == "string" then
      strings = strings + 1
    elseif kind ~= "number" then
      fail("a table has a key that is a " .. kind)
    elseif key < 1 or key ~= floor(key) then
      fail(("a table has the key %s: neither a sequence nor an object"):format(tostring(key)))
    elseif key > largest then
      largest = key
    end
  end
  if strings == count then return count > 0 and 0 or nil end
  if strings > 0 then fail("a table has both string and number keys") end
  if largest ~= count then fail("a table is a sequence with holes") end
  return count
end

local encode_value

-- `path` has the keys that lead to a value, as many as path.depth says.
local function encode_object(t, out, seen, path, depth)
  local names = {}
  for name in next, t do names[#names + 1] = name end
  sort(names)
  for place = 1, #names do
    local name = names[place]
    path[depth], path.depth = name, depth
    out[#out + 1] = (place == 1 and "{" or ",") .. encode_string(name) .. ":"
    encode_value(t[name], out, seen, path, depth)
  end
  out[#out + 1] = "}"
end

function encode_value(value, out, seen, path, depth)
  local kind = type(value)
  if kind == "string" then
    out[#out + 1] = encode_string(value)
  elseif kind == "number" then
    out[#out + 1] = encode_number(value)
  elseif kind == "boolean" then
    out[#out + 1] = value and "true" or "false"
  elseif value == nil or rawequal(value, null) then
    out[#out + 1] = "null"
  elseif kind ~= "table" then
    fail("a " .. kind .. " can't be JSON")
  else
    if seen[value] then fail("a table contains itself") end
    if depth == NESTING then fail(("nesting is deeper than %d"):format(NESTING)) end
    seen[value] = true
    local length = length_of(value)
    if not length then
      out[#out + 1] = "{}"
    elseif length == 0 then
      encode_object(value, out, seen, path, depth + 1)
    else
      for place = 1, length do
        out[#out + 1] = place == 1 and "[" or ","
        path[depth + 1], path.depth = place, depth + 1
        encode_value(value[place], out, seen, path, depth + 1)
      end
      out[#out + 1] = "]"
    end
    seen[value] = nil
  end
end

local function encode(value, path)
  local out = {}
  encode_value(value, out, {}, path, 0)
  return concat(out)
end

-- The way to the value that failed, as Lua writes it: a.b[3]. Of a long one, the beginning.
local function written(path)
  local parts = {}
  for place = 1, min(path.depth, SHOWN) do
    local key = path[place]
    if type(key) == "number" then
      parts[place] = ("[%d]"):format(key)
    elseif key:find("^[%a_][%w_]*$") then
      parts[place] = (place == 1 and "" or ".") .. key
    else
      parts[place] = ("[%q]"):format(key)
    end
  end
  return concat(parts) .. (path.depth > SHOWN and "..." or "")
end

local function encode_result(path, ok, text)
  local value, err = result("json.encode", ok, text)
  if not value and path.depth > 0 then err = ("%s (at %s)"):format(err, written(path)) end
  return value, err
end

-- Decoding -----------------------------------------------------------------------------------

local unescapes = {
  ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t",
}

local function wrong(what, place) fail(("%s at byte %d"):format(what, place)) end

local function skip(text, place) return text:find("[^ \t\r\n]", place) or #text + 1 end

local function hex4(text, place)
  local digits = text:match("^%x%x%x%x", place)
  if not digits then wrong("four hex digits expected", place) end
  return tonumber(digits, 16)
end

-- `place` is behind the opening quote.
local function decode_string(text, place)
  local parts, count = nil, 0
  while true do
    local stop = text:find('[%c"\\]', place)
    if not stop then wrong("a string has no end", #text) end
    local byte = text:byte(stop)
    if byte == 34 then
      local rest = text:sub(place, stop - 1)
      if not parts then return rest, stop + 1 end
      parts[count + 1] = rest
      return concat(parts), stop + 1
    end
    parts = parts or {}
    if byte == 127 then
      parts[count + 1] = text:sub(place, stop)
      count, place = count + 1, stop + 1
    elseif byte ~= 92 then
      wrong("a control character in a string", stop)
    else
      parts[count + 1] = text:sub(place, stop - 1)
      local escape = text:sub(stop + 1, stop + 1)
      local value = unescapes[escape]
      place = stop + 2
      if escape == "u" then
        local code = hex4(text, place)
        place = place + 4
        if code >= 0xD800 and code <= 0xDFFF then
          if code >= 0xDC00 or text:sub(place, place + 1) ~= "\\u" then
            wrong("half a surrogate pair", stop)
          end
          local low = hex4(text, place + 2)
          if low < 0xDC00 or low > 0xDFFF then wrong("half a surrogate pair", stop) end
          place = place + 6
          code = 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00)
        end
        value = utf8_char(code)
      elseif not value then
        wrong("an unknown escape", stop)
      end
      parts[count + 2] = value
      count = count + 2
    end
  end
end

local function decode_number(text, place)
  local stop = text:match("^-?%d+()", place)
  if not stop then wrong("a value expected", place) end
  if text:find("^-?0%d", place) then wrong("a number with a leading zero", place) end
  local whole = true
  local after = text:match("^%.%d+()", stop)
  if after then stop, whole = after, false end
  after = text:match("^[eE][+-]?%d+()", stop)
  if after then stop, whole = after, false end
  local digits = text:sub(place, stop - 1)
  -- A locale may want another decimal point.
  local value = tonumber(digits) or tonumber((digits:gsub("%.", ",")))
  if not value or value == huge or value == -huge then wrong("a number out of range", place) end
  if whole and math_type and math_type(value) ~= "integer" then value = value + 0.0 end
  return value, stop
end

local decode_value

local function decode_array(text, place, depth)
  local array, count = {}, 0
  place = skip(text, place)
  if text:byte(place) == 93 then return array, place + 1 end
  while true do
    count = count + 1
    array[count], place = decode_value(text, place, depth)
    place = skip(text, place)
    local byte = text:byte(place)
    if byte == 93 then return array, place + 1 end
    if byte ~= 44 then wrong("',' or ']' expected", place) end
    place = skip(text, place + 1)
  end
end

local function decode_object(text, place, depth)
  local object = {}
  place = skip(text, place)
  if text:byte(place) == 125 then return object, place + 1 end
  while true do
    if text:byte(place) ~= 34 then wrong("a name in quotes expected", place) end
    local name
    name, place = decode_string(text, place + 1)
    place = skip(text, place)
    if text:byte(place) ~= 58 then wrong("':' expected", place) end
    object[name], place = decode_value(text, skip(text, place + 1), depth)
    place = skip(text, place)
    local byte = text:byte(place)
    if byte == 125 then return object, place + 1 end
    if byte ~= 44 then wrong("',' or '}' expected", place) end
    place = skip(text, place + 1)
  end
end

function decode_value(text, place, depth)
  local byte = text:byte(place)
  if byte == 34 then return decode_string(text, place + 1) end
  if byte == 123 or byte == 91 then
    if depth == NESTING then wrong(("nesting deeper than %d"):format(NESTING), place) end
    if byte == 123 then return decode_object(text, place + 1, depth + 1) end
    return decode_array(text, place + 1, depth + 1)
  end
  if text:find("^true", place) then return true, place + 4 end
  if text:find("^false", place) then return false, place + 5 end
  if text:find("^null", place) then return null, place + 4 end
  return decode_number(text, place)
end

local function decode(text)
  local bad = invalid_utf8(text)
  if bad then wrong("text that is not UTF-8", bad) end
  local value, place = decode_value(text, skip(text, 1), 0)
  place = skip(text, place)
  if place <= #text then wrong("text behind the value", place) end
  return value
end

ws.json = {
  null = null,
  encode = function(value)
    local path = { depth = 0 }
    return encode_result(path, pcall(encode, value, path))
  end,
  decode = function(text)
    if type(text) ~= "string" then
      error("json.decode: its argument must be a string, not " .. type(text), 2)
    end
    return result("json.decode", pcall(decode, text))
  end,
}
