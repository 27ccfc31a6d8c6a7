// What the formats' own tools make of scripts: reads {"format", "scripts"} as JSON from stdin, writes one answer a script.
// Node finds the packages beside this file, in a folder above it, or in NODE_PATH.
"use strict";

const MOST_STATES = 400;

/** Every line and choice that inkle's engine shows on any way through the story, for each value of its flags. */
function ink(source) {
  const { Compiler } = require("inkjs/full");
  const story = new Compiler(source).Compile();
  const flags = [...source.matchAll(/^VAR (\w+) = (?:true|false)$/gm)].map((found) => found[1]);
  const lines = new Set();
  const choices = new Set();
  for (let values = 0; values < 1 << flags.length; values++) {
    story.ResetState();
    flags.forEach((flag, place) => (story.variablesState[flag] = Boolean(values & (1 << place))));
    const open = [{ state: story.state.ToJson(), chosen: null }];
    for (let count = 0; open.length && count < MOST_STATES; count++) {
      const { state, chosen } = open.pop();
      story.state.LoadJson(state);
      if (chosen !== null) story.ChooseChoiceIndex(chosen.index);
      let first = true;
      while (story.canContinue) {
        const text = story.Continue().trim();
        const echo = first && chosen !== null && text === chosen.text.trim();
        if (text && !echo) lines.add(JSON.stringify([text, story.currentTags]));
        first = false;
      }
      const here = story.state.ToJson();
      story.currentChoices.forEach((choice) => {
        choices.add(choice.text.trim());
        open.push({ state: here, chosen: { index: choice.index, text: choice.text } });
      });
    }
  }
  return { lines: [...lines].map((line) => JSON.parse(line)), choices: [...choices] };
}

const tools = { ink };
const { format, scripts } = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const answers = scripts.map((source) => {
  try {
    return tools[format](source);
  } catch (error) {
    if (error.code === "MODULE_NOT_FOUND") return { missing: error.message.split("\n")[0] };
    return { error: String(error.message || error).slice(0, 2000) };
  }
});
process.stdout.write(JSON.stringify(answers));
