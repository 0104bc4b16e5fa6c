declare module "*.json?only=phone" {
  const texts: Record<string, string>;
  export default texts;
}
