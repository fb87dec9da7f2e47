-- S19: the json module.
local T = require("harness")
local json = require("json")
local encode, decode = json.encode, json.decode
local integers = math.type ~= nil

local function fails(fn, value, pattern)
  local result, err = fn(value)
  T.eq(result, nil)
  T.match(err, pattern)
end

T.plain("S19_encode_scalars", function()
  T.eq(encode(nil), "null")
  T.eq(encode(json.null), "null")
  T.eq(tostring(json.null), "null")
  T.eq(encode(true), "true")
  T.eq(encode(false), "false")
  T.eq(encode(""), '""')
  T.eq(encode("a\"b\\c/\b\f\n\r\t\0\1\31\127"), '"a\\"b\\\\c/\\b\\f\\n\\r\\t\\u0000\\u0001\\u001f\127"')
  T.eq(encode("\228\189\160\229\165\189 \240\159\152\128"), '"\228\189\160\229\165\189 \240\159\152\128"')
end)

T.plain("S19_encode_numbers", function()
  T.eq(encode(0), "0")
  T.eq(encode(-1), "-1")
  T.eq(encode(18), "18")
  T.eq(encode(1042), "1042")
  T.eq(encode(0.1), "0.1")
  T.eq(encode(-2.5), "-2.5")
  T.eq(encode(1e300), "1e+300")
  T.eq(encode(1 / 3), "0.3333333333333333")
  T.eq(encode(0.1 + 0.2), "0.30000000000000004")
  T.eq(encode(5e-324):gsub("%.?%d*e", "e"), "4e-324")
  T.eq(encode(2 ^ 53 - 1), integers and "9007199254740991.0" or "9007199254740991")
  if integers then
    T.eq(encode(math.maxinteger), "9223372036854775807")
    T.eq(encode(math.mininteger), "-9223372036854775808")
    T.eq(encode(3.0), "3.0")
  end
  for _, n in ipairs({ 0.1, 1 / 3, 1e21, 1e-7, 123456.789, 2 ^ 60, 5e-324, 1.7976931348623157e308 }) do
    T.eq(decode(encode(n)), n)
    T.eq(decode(encode(-n)), -n)
  end
end)

T.plain("S19_encode_tables", function()
  T.eq(encode({}), "{}")
  T.eq(encode({ 1, 2, 3 }), "[1,2,3]")
  T.eq(encode({ a = 1, b = { c = { true } } }), '{"a":1,"b":{"c":[true]}}')
  T.eq(encode({ { {} } }), "[[{}]]")
  T.eq(encode({ ["1"] = "string key" }), '{"1":"string key"}')
  T.eq(encode({ ["\n"] = json.null }), '{"\\n":null}')
  local shared = { "twice" }
  T.eq(encode({ shared, shared }), '[["twice"],["twice"]]')
end)

T.plain("S19_what_can_not_be_encoded", function()
  fails(encode, print, "function")
  fails(encode, coroutine.create(function() end), "thread")
  fails(encode, io.stdout, "userdata")
  fails(encode, 0 / 0, "NaN")
  fails(encode, 1 / 0, "infinite")
  fails(encode, -1 / 0, "infinite")
  fails(encode, { a = { b = print } }, "function")
  fails(encode, { 1, nil, 3 }, "holes")
  fails(encode, { 1, a = 2 }, "both string and number keys")
  fails(encode, { [0] = 1 }, "key 0")
  fails(encode, { [1.5] = 1 }, "key 1.5")
  fails(encode, { [true] = 1 }, "key that is a boolean")
  fails(encode, "\255", "UTF%-8")
  fails(encode, { ["\192\128"] = 1 }, "UTF%-8")
  local cycle = { {} }
  cycle[1][1] = cycle
  fails(encode, cycle, "contains itself")
end)

T.plain("S19_an_error_says_where_the_value_is", function()
  local function where(value, place)
    local _, err = encode(value)
    T.eq(err:match("%(at (.*)%)$"), place)
  end
  where(print, nil)
  where({ a = { b = { 1, print } } }, "a.b[2]")
  where({ 1, { { x = 0 / 0 } } }, "[2][1].x")
  where({ ["a b"] = { c = "\255" } }, '["a b"].c')
  where({ a = { 1, 2 }, b = { [true] = 1 } }, "b")
  where({ a = { { {} } }, b = print }, "b")
  local deep = print
  for _ = 1, 100 do deep = { deep } end
  where(deep, ("[1]"):rep(16) .. "...")
end)

T.plain("S19_nesting", function()
  local function nested(depth)
    local value = {}
    for _ = 2, depth do value = { value } end
    return value
  end
  T.ok(encode(nested(128)))
  fails(encode, nested(129), "nesting")
  fails(encode, nested(100000), "nesting")
  T.ok(decode(("["):rep(128) .. ("]"):rep(128)))
  fails(decode, ("["):rep(129) .. ("]"):rep(129), "nesting")
  fails(decode, ("["):rep(1000000), "nesting")
  fails(decode, ('{"a":'):rep(1000000), "nesting")
end)

T.plain("S19_decode", function()
  T.ok(decode("null") == json.null)
  T.eq(decode("true"), true)
  T.eq(decode(" false "), false)
  T.eq(decode("-0.5e1"), -5)
  T.eq(decode("10"), 10)
  T.eq(decode('""'), "")
  T.eq(decode('"a\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u4f60\\ud83d\\ude00"'),
    'a"\\/\b\f\n\r\tA\195\169\228\189\160\240\159\152\128')
  T.eq(decode('"\127"'), "\127")
  local value = decode(' { "a" : [ 1 , 2.5 , { } , [ ] , null ] , "b" : "x" } ')
  T.eq(value.a[1], 1)
  T.eq(value.a[2], 2.5)
  T.eq(next(value.a[3]), nil)
  T.eq(next(value.a[4]), nil)
  T.ok(value.a[5] == json.null)
  T.eq(value.b, "x")
  if integers then
    T.eq(math.type(decode("7")), "integer")
    T.eq(math.type(decode("7.0")), "float")
    T.eq(decode("9223372036854775807"), math.maxinteger)
    T.eq(math.type(decode("9223372036854775808")), "float")
  end
end)

T.plain("S19_what_can_not_be_decoded", function()
  for _, text in ipairs({
    "", " ", "nul", "nulls", "tru", "[", "]", "{", "}", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{a:1}",
    '{"a"}', '{"a":}', '{"a":1,}', '{"a":1 "b":2}', "{1:2}", "'a'", '"a', '"\\', '"\\x"', '"\\u12"',
    '"\\u12g4"', '"\\ud800"', '"\\ud800x"', '"\\ud800\\u0041"', '"\\udc00"', '"a\nb"', '"\0"', "01",
    "-", "-01", "1.", ".5", "1e", "1e+", "+1", "0x10", "NaN", "Infinity", "1e999", "-1e999", "1 2",
    "[] []", '"\255"', "\239\187\191[]", "\255", "[1]\0", "//", "1,", '{"a":1}}',
  }) do
    local value, err = decode(text)
    T.eq(value, nil, text)
    T.match(err, "^json%.decode: ")
  end
  T.raises("must be a string", decode, 5)
  T.raises("must be a string", decode)
end)

T.plain("S19_round_trips", function()
  math.randomseed(42)
  local function random(depth)
    local kind = math.random(depth > 4 and 4 or 6)
    if kind == 1 then return math.random(-1000000, 1000000) end
    if kind == 2 then return (math.random() - 0.5) * 10 ^ math.random(-20, 20) end
    if kind == 3 then return math.random(2) == 1 end
    if kind == 4 then
      local parts = {}
      for n = 1, math.random(0, 10) do parts[n] = string.char(math.random(0, 127)) end
      return table.concat(parts) .. "\195\188\240\159\152\128"
    end
    local value = {}
    for n = 1, math.random(1, 5) do
      value[kind == 5 and n or "key" .. n] = random(depth + 1)
    end
    return value
  end
  for _ = 1, 300 do
    local text = T.ok(encode(random(0)))
    T.eq(encode(decode(text)), text)
  end
end)

T.done()
