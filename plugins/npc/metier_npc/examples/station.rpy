define j = Character("June", color="#c8ffc8")
define n = Character(None)

label start:
    scene bg platform
    "The last train left ten minutes ago."
    show june smile
    j "You missed it too, didn't you?"
    menu:
        "What do you say?"
        "I did." if honest:
            j happy "Good. I hate waiting {i}alone{/i}."
        "I'm waiting for someone.":
            j sad "Oh. Sorry, [player]."
    return
