-- S3: Ctrl-C ends a program in run(), and is never reported under S4.
local T = require("harness")

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

T.done()
