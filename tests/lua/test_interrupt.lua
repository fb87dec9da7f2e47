-- S3: Ctrl-C ends a program in run(), and is never reported under S4.
local T = require("harness")
local coromega = T.coromega

for _, kind in ipairs({ "idle", "trickle", "one", "traffic", "loops", "pcalls", "sleeps" }) do
  T.test("S3_interrupt_" .. kind, function()
    -- A busy machine may delay one of them; the fastest shows what the library needs.
    local fastest
    for _ = 1, 3 do
      local run = T.spawn(os.getenv("PYTHON") or "python3", T.here .. "/interrupt.py",
        T.interpreter, T.here .. "/interrupted.lua", kind)
      run.expect("^DONE", 60)
      local text = table.concat(run.lines(), "\n")
      run.forget()
      T.match(text, "STATUS 1\n")
      T.match(text, "interrupted!")
      T.ok(not text:find("REPORTED"), text)
      local ms = tonumber(text:match("MILLISECONDS (%d+)"))
      if not fastest or ms < fastest then fastest = ms end
      if os.getenv("TEST_VERBOSE") then io.stderr:write(kind, " ", ms, " ms\n") end
    end
    T.ok(fastest <= 100, fastest .. " ms")
  end)
end

T.test("S3_interrupt_between_messages_that_come_one_by_one", function()
  for _, gap in ipairs({ 10, 20, 40 }) do
    local run = T.spawn(T.interpreter, T.here .. "/interrupted.lua", "first")
    local conn = T.keep(coromega:connect_to_websocket("ws://127.0.0.1:" .. run.expect("^PORT (%d+)")))
    -- Each leaves so many milliseconds behind the answer to the one before: what passes till the end is no less
    -- than they make together.
    local answers = 0
    conn:send_message("one by one")
    while answers <= 20 and conn:receive_message() do
      answers = answers + 1
      coromega:sleep(gap / 1000)
      conn:send_message("one by one")
    end
    run.expect("interrupted!")
    run.forget()
    if os.getenv("TEST_VERBOSE") then io.stderr:write("answers ", answers, ", ", gap, " ms apart\n") end
    T.ok((answers - 1) * gap <= 100, answers .. " answers, " .. gap .. " ms apart")
  end
end)

-- Callbacks that wait; callbacks that are set when the messages are there already; the last callback of a
-- turn, while more lie in the library's inbox.
for _, case in ipairs({ { "waits", 10, 1 }, { "late", 10, 1 }, { "late", 100, 64 } }) do
  local kind, count, at = case[1], case[2], case[3]
  T.test(("S3_after_an_interrupt_run_goes_on_with_what_lay_ready_%s_%d"):format(kind, count), function()
    local run = T.spawn(T.interpreter, T.here .. "/interrupted_batch.lua", kind, count, at)
    run.expect("^DONE", 60)
    local text = table.concat(run.lines(), "\n")
    run.forget()
    T.match(text, "ENDED.*interrupted!")
    local all = {}
    for number = 1, count do all[number] = number end
    local _, whole = text:gsub("ANSWERS\t" .. table.concat(all, " ") .. " later\n", "")
    T.eq(whole, 5, text)
  end)
end

T.test("S3_after_an_interrupt_at_any_instruction_poll_raises_nothing", function()
  local run = T.spawn(T.interpreter, T.here .. "/interrupted_anywhere.lua")
  run.expect("^DONE", 60)
  local text = table.concat(run.lines(), "\n")
  run.forget()
  T.ok(not text:find("FIRST") and not text:find("RAISED"), text)
  T.match(text, "WOKEN\t3\n")
  T.ok(tonumber(text:match("TRIALS\t(%d+)")) > 100, text)
end)

T.done()
