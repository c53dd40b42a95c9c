package process_test

const hasRealTimeSignals = true
