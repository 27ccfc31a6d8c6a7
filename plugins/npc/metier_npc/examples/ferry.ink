// A ferry crossing, as an Ink writer would leave it.
VAR trust = 0
-> landing

=== landing ===
The river is high and brown.
Mira: You're late. The rope won't wait for anybody. #emotion:angry
* [Say sorry] I'm sorry.
    Mira: Sorry doesn't dry wood. Get in. #action:point
* {trust > 2} "Ask about the wreck"
    Mira: Quiet. Not on the water. #emotion:afraid
    -> END
- Mira: Mind the {wet|loose} plank.
-> crossing

=== crossing ===
{ trust > 2:
    Mira: You've earned a dry seat. #smile
- else:
    Mira: Bail, or swim.
}
-> END
