"""Models of turn-taking: does somebody speak (`silero`), and has he finished (`smart_turn`)?"""
